# A bare repository with two branches, a tag, a subdirectory, links and an executable.
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE="@1500000000 +0000" GIT_COMMITTER_DATE="@1500000000 +0000"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main tree && cd tree
mkdir -p sub/deep && echo one > file && echo inner > sub/deep/inner && ln -s file link && echo "#!/bin/sh" > run && chmod 755 run
printf "FROM scratch\nCOPY . /root/\nLABEL from=main\n" > Dockerfile
printf "FROM scratch\nCOPY . /sub/\nLABEL from=sub\n" > sub/Dockerfile
echo run > .dockerignore
git add -A && git commit -q -m first && git tag v1 && git tag -a -m x v2
git checkout -q -b other && echo two > file && git commit -q -a -m second && git checkout -q main
cd .. && git clone -q --bare tree repo.git && rm -rf tree
