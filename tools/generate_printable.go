// Writes src/codec/printable_ranges.inc: the runes that Go's strconv.Quote leaves as they are.
//
// restic quotes node names with strconv.Quote before it encodes them as JSON, so the table decides tree
// ids. It follows the Unicode version of the Go release that built restic: 13 for Go 1.16 to 1.20, 15 for
// Go 1.21 and later (checked up to Go 1.26, which built the official restic 0.19.1). We use the latter.
//
// Usage: go run tools/generate_printable.go > src/codec/printable_ranges.inc
package main

import (
	"fmt"
	"strconv"
	"unicode"
)

func main() {
	fmt.Printf("// Printable runes (Go strconv.IsPrint, Unicode %s): first, last.\n", unicode.Version)
	fmt.Println("// Made by tools/generate_printable.go. Do not edit: tree ids depend on it.")
	first := rune(-1)
	for r := rune(0); r <= unicode.MaxRune+1; r++ {
		printable := r <= unicode.MaxRune && strconv.IsPrint(r)
		if printable && first < 0 {
			first = r
		}
		if !printable && first >= 0 {
			fmt.Printf("{0x%04x, 0x%04x},\n", first, r-1)
			first = -1
		}
	}
}
