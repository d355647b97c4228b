. ./lib/greet.sh
greet archive
