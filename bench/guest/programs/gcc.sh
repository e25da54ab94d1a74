# $1: how often the program is compiled.
. /bench/programs/lib.sh
mark gcc start
for round in $(seq "$1"); do
  gcc -O2 -o program -x c /bench/inputs/program.c
done
mark gcc end
./program >answers
checksum gcc program answers
rm program answers
