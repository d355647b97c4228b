#!/bin/sh
# Makes a system of unpacked packages at $1: names for ids, the list of certificates, busybox under its names; removes what no build
# reads. Further words start a program of that machine.
set -eu
root=$1
shift

cd "$root"
# What apt and dpkg work with is removed from the archive afterwards.
rm -rf usr/share/perl* usr/share/locale usr/share/man usr/share/doc usr/share/info usr/share/lintian usr/share/bash-completion \
  usr/share/gitweb usr/share/debconf usr/share/initramfs-tools usr/lib/*/perl* usr/lib/*/libperl* usr/bin/perl* usr/lib/git-core/git-gui* \
  usr/lib/systemd lib/systemd usr/share/polkit-1 usr/share/bug usr/share/pixmaps usr/lib/*/gconv \
  etc/perl etc/cron.daily etc/logrotate.d etc/systemd
for name in daemon imap-send http-push http-backend shell cvsserver svn p4 send-email instaweb; do rm -f "usr/lib/git-core/git-$name" "usr/bin/git-$name"; done
rm -f usr/bin/scalar usr/lib/git-core/scalar usr/bin/openssl usr/bin/dpkg*
# One program under two names, which the package brings twice.
ln -sf ../../bin/git usr/lib/git-core/git

mkdir -p etc/ssl/certs root tmp var/tmp var/lib usr/local/bin workspace kaniko/.docker kaniko/ssl/certs busybox proc sys dev run
chmod 1777 tmp var/tmp
chmod 700 root
# Clusters that give a container any user id give it the group of root.
chmod 775 workspace kaniko/.docker kaniko/ssl/certs
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
# Where pipelines for kaniko add a certificate, and its image with a shell has that.
ln -s /etc/ssl/certs/ca-certificates.crt kaniko/ssl/certs/ca-certificates.crt
ln -s /bin/busybox busybox/busybox
ln -s /bin/busybox busybox/sh
printf 'root:x:0:0:root:/root:/bin/sh\nkiln:x:1000:1000:kiln:/home/kiln:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >etc/passwd
printf 'root:x:0:\nkiln:x:1000:\nnogroup:x:65534:\n' >etc/group
printf 'root:100000:65536\nkiln:100000:65536\n' | tee etc/subuid >etc/subgid
mkdir -p home/kiln
chown 1000:1000 home/kiln
ln -s /opt/kiln/bin/kiln usr/local/bin/kiln
# Names of the packages themselves stay: git's and the ids' programs are theirs.
"$@" bin/busybox --list | while read -r applet; do
  [ -e "bin/$applet" ] || [ -e "usr/bin/$applet" ] || [ -e "sbin/$applet" ] || [ -e "usr/sbin/$applet" ] || ln -s /bin/busybox "usr/bin/$applet"
done
[ -e bin/sh ] || ln -s busybox bin/sh
