mkdir -p .git sub/.git && echo head > .git/HEAD && echo head > sub/.git/HEAD
