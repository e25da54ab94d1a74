# $1: bytes of text to pack and unpack.
. /bench/programs/lib.sh
head -c "$1" /bench/inputs/text >plain
mark gzip start
gzip -6nc plain >packed
gzip -dc packed >unpacked
mark gzip end
checksum gzip packed unpacked
rm plain packed unpacked
