# $1: size of the work. The first run fills the cache of compiled modules.
. /bench/programs/lib.sh
python3 /bench/programs/work.py 1 >/dev/null
mark python3 start
python3 /bench/programs/work.py "$1" >answers
mark python3 end
checksum python3 answers
rm answers
