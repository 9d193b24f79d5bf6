//go:build wasip1

package aos

import (
	"encoding/json"
	"unsafe"
)

// The contract aos:tool/tools by its canonical ABI: records as they lie in memory of 32 bits.

// Memory that the host has a pointer to, so that the collector leaves it. Every call has an
// instance of its own: nothing has to be given back.
var held []any

func hold[T any](value *T) uint32 {
	held = append(held, value)
	return uint32(uintptr(unsafe.Pointer(value)))
}

type text struct{ data, length uint32 }

func lower(value string) text {
	bytes := append([]byte(value), 0)
	held = append(held, bytes)
	return text{uint32(uintptr(unsafe.Pointer(&bytes[0]))), uint32(len(value))}
}

type optional struct {
	some  uint32
	value text
}

type definition struct {
	name                                        text
	title                                       optional
	description, input                          text
	output                                      optional
	readOnly, destructive, idempotent, open     bool
}

type list struct{ data, length uint32 }

//go:wasmexport cabi_realloc
func realloc(old, oldSize, align, size uint32) uint32 {
	// In words of 8 bytes: the contract's largest alignment.
	words := make([]uint64, size/8+1)
	held = append(held, words)
	pointer := unsafe.Pointer(&words[0])
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(pointer), size), unsafe.Slice((*byte)(unsafe.Pointer(uintptr(old))), oldSize))
	}
	return uint32(uintptr(pointer))
}

//go:wasmexport aos:tool/tools@0.1.0#definitions
func exportedDefinitions() uint32 {
	tools := Definitions()
	all := make([]definition, len(tools)+1)
	held = append(held, all)
	for i, tool := range tools {
		is := func(one Behaviour) bool { return tool.Behaviour&one != 0 }
		input, _ := json.Marshal(tool.Input)
		all[i] = definition{
			name: lower(tool.Name), description: lower(tool.Description), input: lower(string(input)),
			readOnly: is(ReadOnly), destructive: !is(ReadOnly | Additive),
			idempotent: is(Idempotent), open: is(OpenWorld),
		}
		if tool.Output != nil {
			output, _ := json.Marshal(tool.Output)
			all[i].output = optional{1, lower(string(output))}
		}
	}
	return hold(&list{uint32(uintptr(unsafe.Pointer(&all[0]))), uint32(len(tools))})
}

// A content of text: its case, and the string; the largest case has two words more.
type content struct {
	is   uint32
	text text
	rest [2]uint32
}

// result<output, error>: the largest case of error holds u64s, so all lie at 8.
type answer struct {
	isError uint64
	body    [8]uint64
}

type output struct {
	contents   list
	structured optional
}

type failure struct {
	is   uint64
	text text
}

//go:wasmexport aos:tool/tools@0.1.0#call
func exportedCall(name, nameLength, arguments, argumentsLength uint32) uint32 {
	lifted := func(data, length uint32) []byte {
		if length == 0 {
			return nil
		}
		return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(data))), length)
	}
	said, value, err := Call(string(lifted(name, nameLength)), lifted(arguments, argumentsLength))
	out := new(answer)
	if err != nil {
		// By their place in the variant.
		cases := map[string]uint64{"unknown-tool": 0, "invalid-arguments": 1, "unavailable": 6, "failed": 7}
		out.isError = 1
		*(*failure)(unsafe.Pointer(&out.body)) = failure{cases[KindOf(err)], lower(err.Error())}
		return hold(out)
	}
	only := &content{text: lower(said)}
	body := output{contents: list{hold(only), 1}}
	if value != nil {
		body.structured = optional{1, lower(said)}
	}
	*(*output)(unsafe.Pointer(&out.body)) = body
	return hold(out)
}
