# $1: rows.
. /bench/programs/lib.sh
mark sqlite3 start
sqlite3 data.db >answers <<SQL
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount INTEGER, note TEXT);
BEGIN;
WITH RECURSIVE n(i, r) AS (
  SELECT 1, 12345 UNION ALL SELECT i + 1, (r * 1103515245 + 12345) % 2147483648 FROM n WHERE i < $1
)
INSERT INTO orders SELECT i, r / 65536 % 500, r % 9973, printf('order %d for %x', i, r) FROM n;
CREATE INDEX by_customer ON orders (customer, amount);
COMMIT;
SELECT customer, count(*), sum(amount), max(note) FROM orders GROUP BY customer ORDER BY sum(amount) DESC LIMIT 20;
SELECT count(*) FROM orders a JOIN orders b ON a.customer = b.customer AND a.amount < b.amount WHERE a.id % 50 = 0;
SELECT count(*), avg(length(note)) FROM orders WHERE note LIKE '%7f%';
UPDATE orders SET amount = amount * 3 + id WHERE customer % 7 = 1;
DELETE FROM orders WHERE amount % 11 = 0;
SELECT count(*), sum(amount), min(amount), max(amount) FROM orders;
PRAGMA integrity_check;
SQL
mark sqlite3 end
checksum sqlite3 answers
rm answers data.db
