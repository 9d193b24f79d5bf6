package main

import "testing"

func TestNamesAreJoined(t *testing.T) {
	if said := greeting([]string{"Ada", "Alan"}); said != "Hello, Ada and Alan!" {
		t.Fatal(said)
	}
}
