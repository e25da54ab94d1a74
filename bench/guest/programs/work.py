"""Objects, dictionaries, strings, big integers, floats and sorting, in amounts that its argument scales."""
import re
import sys

size = int(sys.argv[1])
state = 1


def random():
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
    return state >> 33


class Account:
    def __init__(self, number):
        self.number = number
        self.balance = 0
        self.history = []

    def post(self, amount):
        self.balance += amount
        if amount % 5 == 0:
            self.history.append(amount)


accounts = {number: Account(number) for number in range(200)}
for _ in range(400 * size):
    accounts[random() % 200].post(random() % 1000 - 400)
print(sum(a.balance for a in accounts.values()), max(len(a.history) for a in accounts.values()))

words = {}
with open('/bench/inputs/text', encoding='ascii') as text:
    for word in re.findall(r'[a-z]+', text.read(2000 * size)):
        words[word] = words.get(word, 0) + 1
for word, count in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:20]:
    print(word, count)

product = 1
for factor in range(1, 20 * size):
    product = product * factor % (1 << 2203) - 1
print(hex(product)[-32:])

grid = [[float((x * 7 + y * 13) % 17) for x in range(24)] for y in range(24)]
for _ in range(size):
    grid = [[(grid[y - 1][x] + grid[y][x - 1] + grid[y][x]) / 3 for x in range(24)] for y in range(24)]
print(repr(sum(map(sum, grid))))

numbers = [random() for _ in range(300 * size)]
numbers.sort()
print(numbers[len(numbers) // 2], ','.join(str(n % 97) for n in numbers[::50]).count('7'))
