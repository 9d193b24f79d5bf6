package main

import (
	"testing"

	"{{name}}/aos"
)

func TestWordsAreCounted(t *testing.T) {
	text, _, err := aos.Call("count_words", []byte(`{"text":"to be or not to be"}`))
	if err != nil || text != `{"words":6,"distinct":4}` {
		t.Fatal(text, err)
	}
}

func TestALimitOfNothingIsAnInvalidArgument(t *testing.T) {
	_, _, err := aos.Call("count_words", []byte(`{"text":"a","letters_max":0}`))
	if aos.KindOf(err) != "invalid-arguments" {
		t.Fatal(err)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	_, _, err := aos.Call("count_words", []byte(`{}`))
	if err == nil || err.Error() != "$.text: it is missing" {
		t.Fatal(err)
	}
}
