printf '# escape=`\r\nARG BASE\r\nFROM ${BASE}\r\nENV A=1 `\r\n  B=2\r\nRUN echo x `\r\n && echo y > /y\r\nCOPY <<EOT /h\r\nline\r\nEOT\r\nLABEL a="b c"\r\n' > Dockerfile
