echo "sourced in $$" | sed "s/ [0-9]*$//"
