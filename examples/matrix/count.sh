# Prints the numbers from 1 to $1.
number=1
while [ "$number" -le "$1" ]; do
  echo "$number"
  number=$((number + 1))
done
