# $1: bytes of text to pack and unpack.
. /bench/programs/lib.sh
head -c "$1" /bench/inputs/text >plain
mark xz start
xz -3 -T1 -c plain >packed
xz -dc packed >unpacked
mark xz end
checksum xz packed unpacked
rm plain packed unpacked
