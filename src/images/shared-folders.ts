/** What a guest needs to mount the folders that the host shares with it. */

/**
 * Mounts them. The kernel's command line names each: `virts.folder=TAG,rw|ro,PATH`, where a character that might mean something else is
 * `\` and three octal digits.
 */
export const MOUNT_FOLDERS = `#!/bin/sh
set -f
status=0
for word in $(cat /proc/cmdline); do
  case $word in
  virts.folder=*) ;;
  *) continue ;;
  esac
  rest=\${word#virts.folder=}
  tag=\${rest%%,*}
  rest=\${rest#*,}
  path=$(printf "\${rest#*,}")
  modprobe -q virtiofs
  mkdir -p "$path" && mount -t virtiofs -o "\${rest%%,*}" "$tag" "$path" || status=1
done
exit $status
`;

/** Runs that where systemd is: when all other file systems are there, and before anything that might want the folders. */
export const FOLDERS_UNIT = `[Unit]
Description=Folders shared by the host
DefaultDependencies=no
ConditionKernelCommandLine=virts.folder
After=local-fs.target systemd-modules-load.service
Before=sysinit.target
Conflicts=umount.target
Before=umount.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/libexec/virts-mount-folders
`;

/** Has systemd run it, without a link that somebody would have to make. */
export const FOLDERS_WANTED = `[Unit]
Wants=virts-folders.service
`;
