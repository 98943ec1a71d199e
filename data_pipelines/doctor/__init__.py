"""Looks at a folder or built set for what commonly spoils training on pairs.

`pairs` opens it, `measures` looks at each pair, `findings` judges, `page` shows.
"""
