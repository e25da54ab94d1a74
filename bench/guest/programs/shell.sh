# $1: rounds of short commands, nearly each a process of its own.
. /bench/programs/lib.sh
head -c 20000 /bench/inputs/text >plain
mark shell start
: >answers
for round in $(seq "$1"); do
  mkdir -p tree/a tree/b
  tr -s ' ' '\n' <plain | sort | uniq -c | sort -rn | head -n 5 >>answers
  wc plain | cut -c1-20 >>answers
  cp plain tree/a/copy
  ls tree/a | tail -n 1 >>answers
  basename "$(dirname tree/a/copy)" >>answers
  expr "$round" \* 7 % 5 >>answers || :
  cksum tree/a/copy >>answers
  touch tree/b/new
  mv tree/b/new tree/b/old
  test -f tree/b/old && printf '%s\n' "$round" | od -An -tx1 >>answers
  rm -r tree
done
mark shell end
checksum shell answers
rm answers plain
