# Regular expressions, hashes, strings and sorting over a text.
use strict;
use warnings;

open(my $file, '<', $ARGV[0]) or die "$ARGV[0]: $!";
local $/ = undef;
my $text = <$file>;

my (%count, %follows);
my $before = '';
while ($text =~ /\b([a-z]+)\b/g) {
  $count{$1}++;
  $follows{$before}{$1}++ if $before ne '';
  $before = $1;
}
my @common = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 19];
for my $word (@common) {
  my $next = (sort { $follows{$word}{$b} <=> $follows{$word}{$a} || $a cmp $b } keys %{$follows{$word}})[0] // '';
  print "$word $count{$word} $next\n";
}

(my $changed = $text) =~ s/(\w)(\w*)/\U$1\E$2/g;
my $pairs = () = $changed =~ /([aeiou])\1/gi;
my $doubled = () = $text =~ /\b(\w)\w*\1\b/g;
print "$pairs $doubled ", length($changed), "\n";

my @lines = map { join ' ', reverse split / / } split /\n/, $text;
my $hash = 0;
for my $line (sort @lines) {
  $hash = ($hash * 31 + ord($_)) % 1000003 for split //, substr($line, 0, 24);
}
print "$hash\n";
print sprintf('%08x', unpack('%32C*', join("\n", @lines))), "\n";
