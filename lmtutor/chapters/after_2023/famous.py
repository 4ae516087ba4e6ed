"""Passages that stand in a thousand places: what a model knows by heart, if it knows anything so. All free of copyright."""

FAMOUS = (
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and dedicated to "
    "the proposition that all men are created equal. Now we are engaged in a great civil war, testing whether that nation, or any "
    "nation so conceived and so dedicated, can long endure.",
    "We hold these truths to be self-evident, that all men are created equal, that they are endowed by their Creator with certain "
    "unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness. That to secure these rights, Governments are "
    "instituted among Men, deriving their just powers from the consent of the governed,",
    "We the People of the United States, in Order to form a more perfect Union, establish Justice, insure domestic Tranquility, provide "
    "for the common defence, promote the general Welfare, and secure the Blessings of Liberty to ourselves and our Posterity, do ordain "
    "and establish this Constitution for the United States of America.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was the epoch of "
    "belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness, it was the spring of hope, it "
    "was the winter of despair,",
    "In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness was upon the face of "
    "the deep. And the Spirit of God moved upon the face of the waters. And God said, Let there be light: and there was light.",
    "The LORD is my shepherd; I shall not want. He maketh me to lie down in green pastures: he leadeth me beside the still waters. He "
    "restoreth my soul: he leadeth me in the paths of righteousness for his name's sake. Yea, though I walk through the valley of the "
    "shadow of death, I will fear no evil: for thou art with me;",
    "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer The slings and arrows of outrageous fortune, "
    "Or to take arms against a sea of troubles, And by opposing end them. To die: to sleep; No more; and by a sleep to say we end The "
    "heart-ache and the thousand natural shocks That flesh is heir to,",
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife. However "
    "little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so well fixed in the "
    "minds of the surrounding families, that he is considered as the rightful property of some one or other of their daughters.",
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should act towards "
    "one another in a spirit of brotherhood. Everyone is entitled to all the rights and freedoms set forth in this Declaration, without "
    "distinction of any kind, such as race, colour, sex, language, religion, political or other opinion, national or social origin, "
    "property, birth or other status.",
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files "
    '(the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, '
    "merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished "
    "to do so, subject to the following conditions:",
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or twice she had "
    'peeped into the book her sister was reading, but it had no pictures or conversations in it, "and what is the use of a book," '
    'thought Alice "without pictures or conversations?"',
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and nothing particular to "
    "interest me on shore, I thought I would sail about a little and see the watery part of the world. It is a way I have of driving off "
    "the spleen and regulating the circulation.",
)
