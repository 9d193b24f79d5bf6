// {{name}}: tools for aos-host.
package main

import (
	"strings"
	"unicode/utf8"

	"{{name}}/aos"
)

// CountWords are the arguments of count_words.
type CountWords struct {
	Text       string `json:"text" aos:"The text to count."`
	LettersMax *int   `json:"letters_max" aos:"Count words that are no longer than this only."`
}

// Counts is its result.
type Counts struct {
	Words    int `json:"words"`
	Distinct int `json:"distinct"`
}

func countWords(in CountWords) (Counts, error) {
	if in.LettersMax != nil && *in.LettersMax < 1 {
		return Counts{}, aos.Invalid("$.letters_max: expected at least 1")
	}
	counts, seen := Counts{}, map[string]bool{}
	for _, word := range strings.Fields(in.Text) {
		if in.LettersMax == nil || utf8.RuneCountInString(word) <= *in.LettersMax {
			counts.Words++
			seen[word] = true
		}
	}
	counts.Distinct = len(seen)
	return counts, nil
}

func init() {
	aos.Register(
		aos.Tool("count_words", "Counts the words of a text.", countWords, aos.ReadOnly, aos.Idempotent),
	)
}

// main is not called: the host calls tools.
func main() {}
