# escape=`
FROM mcr.example/windows
MAINTAINER someone <a@b>
ENV P=C:\bin `
    Q="a `"b`""
RUN dir `
  /s
cmd c:\x.exe
