# What a step finds out about its own sandbox, one fact a line. Needs busybox; changes nothing of the machine.
grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Umask)' /proc/self/status
for path in /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap /proc/interrupts /sys/devices/system/cpu/cpu0/thermal_throttle; do
  if [ -d $path ]; then echo "$path: directory of $(ls $path 2>/dev/null | wc -l)"
  elif [ -e $path ]; then echo "$path: file of $(head -c 100 $path 2>/dev/null | wc -c)"
  else echo "$path: absent"; fi
done
for path in /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger /sys/kernel/mm/transparent_hugepage/enabled; do
  # Opened without writing, which would change the machine if it succeeded.
  ( : >> $path ) 2> /dev/null && echo "$path: writable" || echo "$path: read-only"
done
for path in /proc/bus /proc/fs /proc/irq /sys /sys/fs/cgroup /run; do
  touch $path/probe 2> /dev/null && echo "$path: writable" || echo "$path: read-only"
done
ls -l /dev | sed 1d | sed -E 's/ +[A-Z][a-z]{2} +[0-9]+ +[0-9:]+ / /' | sort -k 1
grep -E ' (/|/proc|/dev|/dev/pts|/dev/shm|/dev/mqueue|/sys|/sys/fs/cgroup|/run) ' /proc/self/mounts | awk '{print $2, $3, $4}' | sed -E 's/(lowerdir|upperdir|workdir|seclabel|inode64|redirect_dir|index|metacopy|xino|volatile|nouserxattr|uuid|size|gid)[^, ]*,?//g' | sort
for call in "unshare -m true" "unshare -U true" "mount -t tmpfs t /tmp" "chroot / /bin/true" "hostname other" "dmesg -c" "insmod /none" "mknod /tmp/dev c 8 0" "swapon /none" "pivot_root / /" "nsenter -t 1 -m true" "setsid true" "nice -n -5 true" "ping -c 1 -W 1 127.0.0.1"; do
  $call > /dev/null 2>&1; echo "$call: $?"
done
rm -f /tmp/dev
env | sort
pwd; id
