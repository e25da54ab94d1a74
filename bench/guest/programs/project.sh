# $1: how often the project is built and its programs are run. Its sources are those of the kernels.
. /bench/programs/lib.sh
mark project start
for round in $(seq "$1"); do
  rm -rf project
  mkdir project
  cd project
  for source in /bench/project/*.c; do
    name=${source##*/}
    gcc -std=gnu17 -O2 -march=x86-64-v2 -ffp-contract=off -Wall -Wextra -Werror -c -o "${name%.c}.o" "$source"
  done
  gcc -o kernels *.o -lm
  for work in 'crc32 20' 'sha256 15' 'sieve 2' 'quicksort 3' 'fib 70' 'virtual-calls 45' 'bytecode 3' \
    'matmul 2' 'nbody 20' 'mandelbrot 30'; do
    ./kernels $work >>answers
  done
  cd ..
done
mark project end
checksum project project/*.o project/kernels project/answers
