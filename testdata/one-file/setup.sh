# What git does not hold: links, empty folders, modes, archives. Dates are fixed, so that both builders see the same.
ln -s a.txt link
ln -s dir dirlink
ln -s nowhere dangling
ln -s ../../../a.txt dir/outward
mkdir -p empty modes
for mode in 600 640 755 1777 2755 4755; do echo $mode >modes/$mode; chmod $mode modes/$mode; done
mkdir -p modes/closed && chmod 700 modes/closed && echo x >modes/closed/x
tar -cf plain.tar a.txt dir
tar -czf packed.tgz -C dir one sub
cp packed.tgz packed.txt
printf 'not an archive' >false.tar
gzip -nc a.txt >single.gz
ln a.txt hard
find . -mindepth 1 -exec touch -hd '2020-02-03 04:05:06 UTC' {} +
