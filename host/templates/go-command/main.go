// {{name}}: greets who its arguments name.
package main

import (
	"fmt"
	"os"
	"strings"
)

func greeting(names []string) string {
	if len(names) == 0 {
		return "Hello, world!"
	}
	return "Hello, " + strings.Join(names, " and ") + "!"
}

func main() {
	fmt.Println(greeting(os.Args[1:]))
}
