mkdir -p tree/d && echo a > tree/a && echo b > tree/d/b && echo ignored > tree/ignored && echo ignored > tree/.dockerignore
chown -R 1234:1234 tree && chmod 640 tree/a
printf 'FROM scratch\nCOPY . /all/\nCOPY d /d\n' > tree/Dockerfile
printf 'FROM scratch\nCOPY a /other\n' > tree/d/Other
tar -cf context.tar -C tree . && gzip -kn context.tar && rm -r tree
