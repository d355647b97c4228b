# What git does not hold: links, empty folders, modes, archives. Dates are fixed, so that both builders see the same every time.
old="2020-02-03 04:05:06 UTC"
ln -s a.txt link
ln -s dir dirlink
ln -s nowhere dangling
ln -s ../../../a.txt dir/outward
mkdir -p empty modes
for mode in 600 640 755 1777 2755 4755; do echo $mode >modes/$mode; chmod $mode modes/$mode; done
mkdir -p modes/closed && chmod 700 modes/closed && echo x >modes/closed/x
pack() { tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="$old" -cf "$@"; }
pack plain.tar a.txt dir
pack - -C dir one sub | gzip -nc >packed.tgz
cp packed.tgz packed.txt
printf 'not an archive' >false.tar
gzip -nc a.txt >single.gz
ln a.txt hard
find . -mindepth 1 -exec touch -hd "$old" {} +
