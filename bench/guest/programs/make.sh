# $1: how often each source of the project is compiled; $2: how many compilers make runs at a time.
. /bench/programs/lib.sh
rm -rf made
mkdir made
cd made
cat >Makefile <<'END'
CC = gcc
CFLAGS = -std=gnu17 -O2 -march=x86-64-v2 -ffp-contract=off -Wall -Wextra -Werror
objects = $(patsubst %.c,%.o,$(sort $(wildcard */*.c)))
kernels: $(objects)
	gcc -o $@ $(filter 1/%,$^) -lm
END
for copy in $(seq "$1"); do
  mkdir "$copy"
  cp /bench/project/*.c /bench/project/*.h "$copy"
done
mark make start
make -s "-j$2"
mark make end
checksum make */*.o kernels
