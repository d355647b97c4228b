/** A build that every place is to give the same layers for. */
export interface Case {
  readonly name: string;
  /** A case without RUN works where no command can run. */
  readonly runs: boolean;
  readonly files?: Readonly<Record<string, string>>;
  /** Arguments of `kiln build` besides; `.` is the context. */
  readonly args?: readonly string[];
  /** Lines after `FROM base`. */
  readonly lines: readonly string[];
}

/**
 * Small builds in the spirit of what people's Dockerfiles do. `base` is busybox with a few programs of the machine's; its files
 * are older than the builds' SOURCE_DATE_EPOCH, so that a time that is kept differs from one of the build.
 */
export const CASES: readonly Case[] = [
  {
    name: "users",
    runs: true,
    lines: [
      "ENV SOURCE_DATE_EPOCH=1600000000",
      "RUN groupadd -g 1500 staff && useradd -m -u 1000 -g staff -s /bin/sh app && useradd -r -M -u 101 -s /bin/false daemon",
      "RUN su app -c 'id -u > ~/who && mkdir -p ~/a/b && touch ~/a/b/c' && userdel daemon",
      "RUN install -d -o app -g staff -m 2775 /srv/shared && touch /srv/shared/by-root",
      "USER app",
      "WORKDIR /home/app/work",
      "RUN id > who && mkdir d && ln -s d l && ! touch /etc/not-mine",
    ],
  },
  {
    name: "owners and links",
    runs: true,
    lines: [
      "RUN mkdir /d && touch /d/f && ln -s f /d/l && ln /d/f /d/h && chown -R 33:44 /d && chown -h 5:6 /d/l && chmod 4755 /d/f",
      "RUN cp -a /d /copy && mv /d/l /d/moved && chgrp 8 /d/h && chmod 1777 /d",
      "RUN ln /d/f /across && rm /copy/h && chown 7 /copy/f",
    ],
  },
  {
    name: "changes of the base",
    runs: true,
    lines: [
      "RUN rm /opt/old/file && rm -r /opt/gone && rm -r /opt/again && mkdir /opt/again && touch /opt/again/new",
      "RUN cp /etc/group /tmp/g && cat /tmp/g > /etc/group && rm /tmp/g && chmod 700 /opt/old && touch -d '2010-01-01 00:00:00' /opt/kept",
      "RUN mv /opt/from /opt/to && ln /opt/linked/a /opt/linked/c && touch -h -d '2011-01-01 00:00:00' /opt/linked/l",
      "RUN touch /opt/deep/er/x && rm /opt/deep/er/x && : >> /opt/linked/b && rm -r /opt/again && ln -s old /opt/again",
      "RUN rm /opt/again && mkdir -p /opt/again/and && touch /opt/new && rm /opt/new && cp -p /opt/kept /opt/kept2 && mv /opt/kept2 /opt/kept",
      "RUN true",
    ],
  },
  {
    name: "owners of a tar",
    runs: true,
    lines: [
      "RUN mkdir -p /t/d && touch /t/d/f && chown 33:44 /t/d && chown 1234:65534 /t/d/f && chmod 6711 /t/d/f && ln -s f /t/d/l && chown -h 5:6 /t/d/l",
      "RUN tar -C /t -cf /t.tar d && mkdir /u && tar -C /u -xpf /t.tar && rm /t.tar && test $(stat -c %u:%g /u/d/f) = 1234:65534",
    ],
  },
  {
    name: "owners beyond the map",
    runs: true,
    lines: ["RUN touch /f && chown 100000:200000 /f && test $(stat -c %u:%g /f) = 100000:200000"],
  },
  {
    name: "caches and secrets",
    runs: true,
    files: { "secret.txt": "hush", f: "hi\n" },
    args: ["--secret", "id=s,src=secret.txt"],
    lines: [
      "RUN --mount=type=cache,target=/c,uid=33,gid=44 echo kept > /c/f && test $(stat -c %u:%g /c) = 33:44",
      "RUN --mount=type=cache,target=/c,uid=33,gid=44 test $(cat /c/f) = kept && rm /c/f",
      "RUN --mount=type=secret,id=s,target=/etc/secret,mode=0400 test $(cat /etc/secret) = hush",
      "RUN --mount=type=bind,target=/ctx --mount=type=tmpfs,target=/tmp test $(cat /ctx/f) = hi && touch /tmp/gone && test ! -e /etc/secret",
      "RUN --mount=type=bind,target=/ctx ! touch /ctx/mine 2>/dev/null",
    ],
  },
  {
    name: "devices and fifos",
    runs: true,
    lines: [
      "RUN mknod /n c 1 3 && chown 5:6 /n && mknod /b b 7 0 && mkfifo -m 640 /p && chown 33:44 /p && cp -a /n /m",
    ],
  },
  {
    name: "heredocs",
    runs: true,
    lines: [
      "COPY --chown=5:6 --chmod=640 <<A <<B /h/",
      ...["one", "A", "two", "B"],
      "RUN <<END",
      ...["set -e", "echo first > /h/r", "cat > /h/s <<'IN'", "second", "IN", "END"],
      "COPY <<EOF /h/t",
      ...["three", "EOF"],
    ],
  },
  {
    name: "copies",
    runs: false,
    files: { f: "hi\n", g: "there\n" },
    lines: [
      "COPY --chown=33:44 f g /c/",
      "COPY --chown=1000:1500 --chmod=750 f /c/mode",
      "COPY --link f /linked/",
      "ADD --chown=7:8 owners.tar /",
      "COPY --from=base /opt /opt2",
      "WORKDIR /made/here",
    ],
  },
  {
    name: "capabilities and lists",
    runs: true,
    lines: [
      "RUN cp /bin/busybox /ping && setcap cap_net_raw+ep /ping && getcap /ping | grep -q net_raw",
      "RUN mkdir /acl && setfacl -m u:1000:rwx,d:g:44:rx /acl && touch /acl/f && setfacl -m u:7:r /acl/f && getfacl -n /acl/f | grep -q user:7:r",
    ],
  },
  {
    name: "what programs look at",
    runs: true,
    lines: [
      "RUN echo out > /dev/stdout && echo err > /dev/stderr && echo x | cat /dev/stdin > /in && test -d /proc/self/fd && test -e /proc/self/exe",
      "RUN grep -q ' / ' /proc/mounts && grep -q Uid /proc/self/status && test -n \"$(cat /proc/cpuinfo /proc/meminfo)\" && test -r /proc/sys/kernel/osrelease",
      "RUN test -d /sys/class && test -c /dev/null && echo x > /dev/null && test -d /dev/pts && test -e /dev/ptmx && test -d /dev/shm && touch /dev/shm/x",
      "RUN readlink /proc/self/exe > /exe && exec 3> /three && echo three > /proc/self/fd/3 && test $(cat /dev/fd/0 < /three) = three",
      'RUN ["bash", "-c", "cat <(echo one) <(echo two) > /both && diff <(echo 1) <(echo 1) && tee >(cat > /tee) < /both > /dev/null && sleep 0.2"]',
      "RUN /usr/bin/mkfifo -m 620 /pipe && ln -s /dev/null /log && echo gone > /log && echo $(echo text | tee /dev/stderr) > /text",
      'RUN test "$(readlink /proc/self)" != "" || true; test "$(cat /proc/$$/comm)" = sh && test -n "$(cat /proc/net/dev /proc/self/mountinfo)" && df / > /dev/null',
      "RUN echo app:x:1000:1000::/:/bin/sh >> /etc/passwd && touch /mine && chown 1000 /mine && su app -c '! (echo x > /dev/stderr) 2>&1 && echo y | cat /dev/stdin > /mine'",
    ],
  },
];
