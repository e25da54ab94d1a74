# $1: bytes of text to work on.
. /bench/programs/lib.sh
head -c "$1" /bench/inputs/text >plain
mark perl start
perl /bench/programs/work.pl plain >answers
mark perl end
checksum perl answers
rm plain answers
