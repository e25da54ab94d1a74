# $1: how often the text is encrypted and digested.
. /bench/programs/lib.sh
key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
cat /bench/inputs/text >/dev/null
set -- $(repeat "$1" /bench/inputs/text)
mark openssl start
cat "$@" | openssl enc -aes-256-cbc -K $key -iv 0f0e0d0c0b0a09080706050403020100 | openssl dgst -sha512 >answers
openssl dgst -sha3-256 /bench/inputs/text >>answers
openssl enc -chacha20 -K $key -iv 0f0e0d0c0b0a09080706050403020100 -in /bench/inputs/text | openssl dgst -sha1 >>answers
# 2^1279 - 1, a Mersenne prime: big number arithmetic.
openssl prime -hex "7$(printf '%0319d' 0 | tr 0 F)" >>answers
mark openssl end
checksum openssl answers
rm answers
