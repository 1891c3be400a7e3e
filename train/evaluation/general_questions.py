"""Questions of general knowledge, which have nothing to do with faces or voices, for `forgetting.py`.

Each has one right answer, which stands first, and three wrong ones. They are easy on purpose: a model of 135 M
parameters knows most of them, so what it forgets shows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GeneralQuestion:
    """A question and its answers."""

    kind: str
    text: str
    right: str
    wrong: tuple[str, str, str]


_LINES = {
    "knowledge": """
What is the capital of France? | Paris | Rome | Berlin | London
What is the capital of Japan? | Tokyo | Beijing | Seoul | Bangkok
What is the capital of Italy? | Rome | Madrid | Athens | Vienna
Which planet do we live on? | Earth | Mars | Venus | Jupiter
Which gas do people need to breathe? | Oxygen | Helium | Neon | Methane
Who wrote Romeo and Juliet? | William Shakespeare | Charles Dickens | Mark Twain | Jane Austen
At how many degrees Celsius does water boil at sea level? | 100 | 50 | 20 | 500
How many continents are there? | Seven | Two | Twelve | Twenty
Which ocean lies between Europe and America? | The Atlantic | The Indian Ocean | The Pacific | Lake Como
What do bees make? | Honey | Milk | Silk | Bread
Which animal is the largest? | The blue whale | The horse | The dog | The mouse
What is frozen water called? | Ice | Steam | Sand | Glass
Which star is at the centre of our solar system? | The Sun | The Moon | Polaris | Saturn
In which country are the pyramids of Giza? | Egypt | Norway | Canada | Brazil
Which organ pumps blood through the body? | The heart | The stomach | The ear | The knee
What is the chemical formula of water? | H2O | CO2 | NaCl | O2
""",
    "words": """
What is the opposite of hot? | Cold | Warm | Red | Fast
What is the opposite of big? | Small | Tall | Loud | Old
What is the opposite of up? | Down | Over | In | Near
What is the opposite of day? | Night | Week | Noon | Year
What is the plural of child? | Children | Childs | Childes | Childer
What is the plural of mouse? | Mice | Mouses | Mousen | Moose
What is the past tense of go? | Went | Goed | Gone to | Going
What is the past tense of eat? | Ate | Eated | Eating | Eats
Which word means the same as begin? | Start | Stop | Forget | Break
Which word means the same as quick? | Fast | Slow | Heavy | Soft
Which of these words is a colour? | Blue | Table | Run | Seven
Which of these words is a fruit? | Banana | Hammer | Cloud | Shoe
Which of these words is a verb? | Jump | Green | House | Slowly
Which of these words is a number? | Nine | Nice | Night | None
Which word rhymes with cat? | Hat | Dog | Cup | Sun
What do we call the young of a dog? | A puppy | A kitten | A calf | A lamb
""",
    "arithmetic": """
What is 1 + 1? | 2 | 3 | 5 | 9
What is 2 + 3? | 5 | 4 | 8 | 1
What is 10 - 4? | 6 | 3 | 9 | 2
What is 5 + 5? | 10 | 55 | 7 | 15
What is 3 times 3? | 9 | 6 | 33 | 12
What is 2 times 6? | 12 | 8 | 26 | 10
What is half of 10? | 5 | 2 | 20 | 8
What is 100 - 1? | 99 | 101 | 90 | 10
How many days are in a week? | 7 | 5 | 10 | 12
How many months are in a year? | 12 | 10 | 7 | 30
How many minutes are in an hour? | 60 | 24 | 100 | 30
How many hours are in a day? | 24 | 12 | 60 | 7
How many legs does a dog have? | 4 | 2 | 6 | 8
How many sides does a triangle have? | 3 | 4 | 5 | 6
Which number comes after 9? | 10 | 8 | 19 | 90
Which of these numbers is the largest? | 80 | 8 | 18 | 38
""",
    "sense": """
What do you use to cut paper? | Scissors | A spoon | A pillow | A candle
What do you wear on your feet? | Shoes | A hat | Gloves | A scarf
What do you use to open a locked door? | A key | A banana | A book | A cup
Where do fish live? | In water | In trees | In the desert | In houses
What do you do when you are thirsty? | Drink water | Read a book | Close the window | Go to sleep
What do you use to write on paper? | A pen | A fork | A lamp | A bottle
What falls from the sky when it rains? | Water | Stones | Leaves | Sand
Where do you buy bread? | At a bakery | At a bank | At a garage | At a library
What do you need when it is dark? | A light | A spoon | Ice | A fan
What grows on trees? | Leaves | Cars | Fish | Coins
Which season is the coldest? | Winter | Summer | Spring | Autumn
What does a doctor do? | Treats sick people | Bakes bread | Flies planes | Repairs cars
What do you use to see the time? | A clock | A chair | A knife | A plate
What happens to ice in the sun? | It melts | It burns | It grows | It sings
What do cows give us? | Milk | Eggs | Wool | Honey
What do you put on when it rains? | A raincoat | Sunglasses | A swimsuit | Slippers
""",
    "reading": """
She has a red bicycle, he has a blue car. What does he have? | A blue car | A red bicycle | A horse | A boat
The shop opens at nine and closes at five. When does the shop close? | At five | At nine | At noon | At midnight
The book is on the table, the cup in the sink. Where is the cup? | In the sink | On the table | In the hall | In bed
The boy is taller than the girl. Who is shorter? | The girl | The boy | Both | Nobody
The cat slept inside while the dog ran outside. Which animal was outside? | The dog | The cat | The bird | The horse
She bought three apples and two pears. How many apples did she buy? | Three | Two | Five | One
The train leaves from platform four. Where does it leave? | Platform four | Platform one | Platform ten | The airport
It snowed all night, so the school was closed. Why was it closed? | It had snowed | It was Sunday | It was hot | It fell
He wanted tea, but there was only coffee. What did he want? | Tea | Coffee | Juice | Milk
The museum is free on Mondays. On which day is it free? | Monday | Friday | Sunday | Tuesday
The key is in the drawer, the coins are in the bowl. Where is the key? | In the drawer | In the bowl | Lost | Sold
The green box is empty, the yellow box is full. Which is full? | The yellow box | The green box | The red box | No box
First we ate, then we went swimming. What did we do first? | We ate | We swam | We slept | We drove
The letter came from Canada. Where did the letter come from? | Canada | China | Spain | Kenya
He reads every evening before he sleeps. When does he read? | In the evening | In the morning | At noon | Never
The soup was too salty, so nobody ate it. Why was it not eaten? | It was too salty | It was cold | It was gone | It fell
""",
    "instructions": """
Answer with one word: which language is spoken in Germany? | German | French | Dutch | Polish
Answer yes or no: is fire hot? | Yes | No | Cold | Water
Answer yes or no: can a stone swim? | No | Yes | Stone | Swim
Complete the sentence: The sky is | blue | loud | seven | asleep
Complete the sentence: Grass is | green | metal | Tuesday | singing
Complete the sentence: Birds can | fly | read | drive | melt
Complete the series: Monday, Tuesday, | Wednesday | Sunday | January | Friday
Complete the series: one, two, three, | four | nine | zero | red
Complete the series: a, b, c, | d | z | q | m
Complete the saying: An apple a day keeps the doctor | away | happy | busy | inside
Complete the saying: Better late than | never | early | soon | today
Translate into English: bonjour | hello | goodbye | thank you | please
Translate into English: gracias | thank you | hello | water | night
Say which one does not belong: cat, dog, horse, chair | chair | cat | dog | horse
Say which one does not belong: red, green, Monday, blue | Monday | red | green | blue
Say which word is spelled correctly. | friend | freind | frend | friennd
""",
}


def _read() -> tuple[GeneralQuestion, ...]:
    found = []
    for kind, lines in _LINES.items():
        for line in lines.strip().splitlines():
            text, right, first, second, third = (part.strip() for part in line.split("|"))
            found.append(GeneralQuestion(kind, text, right, (first, second, third)))
    return tuple(found)


QUESTIONS = _read()
