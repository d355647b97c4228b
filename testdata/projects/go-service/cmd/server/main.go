package main

import (
	"fmt"
	"os"

	"example.com/go-service/internal/greeting"
)

var version = "unset"

func main() { fmt.Println(greeting.For("go"), version, os.Getuid()) }
