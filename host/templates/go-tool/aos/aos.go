// Package aos makes tools of functions: the struct of arguments becomes a JSON Schema.
//
//	type Halve struct {
//		Whole float64 `json:"whole" aos:"The number to halve."`
//	}
//
// A pointer, or `omitempty`, makes a field optional. What a function returns is text where it is a
// string, else structured output. An error reaches the caller as a typed one.
package aos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
)

// Behaviour is a promise to the host. A tool that says nothing may destroy what it likes.
type Behaviour uint8

const (
	// ReadOnly changes nothing outside.
	ReadOnly Behaviour = 1 << iota
	// Additive writes, and never removes or overwrites.
	Additive
	// Idempotent: a second equal call changes nothing more.
	Idempotent
	// OpenWorld reaches other machines.
	OpenWorld
)

// Error is what a caller reads: one sentence, and which kind it is of.
type Error struct{ Kind, Message string }

func (e *Error) Error() string { return e.Message }

// Invalid is an argument that passes the schema and still does not fit.
func Invalid(format string, values ...any) error {
	return &Error{"invalid-arguments", fmt.Sprintf(format, values...)}
}

// Unavailable is what did not answer; later may help.
func Unavailable(format string, values ...any) error {
	return &Error{"unavailable", fmt.Sprintf(format, values...)}
}

// Definition is one tool in the catalogue.
type Definition struct {
	Name, Description string
	Input, Output     map[string]any
	Behaviour         Behaviour
	run               func(arguments []byte) (any, error)
}

var tools []Definition

// What is wrong with the tools, said when the catalogue is asked for: a program that is about to
// start has nowhere to say it.
var wrong []string

var named = regexp.MustCompile("^[a-z][a-z0-9_]{0,47}$")

// Tool makes a tool of a function.
func Tool[In, Out any](name, description string, run func(In) (Out, error), behaviour ...Behaviour) (definition Definition) {
	defer func() {
		if cause := recover(); cause != nil {
			wrong = append(wrong, fmt.Sprint(cause))
		}
	}()
	if !named.MatchString(name) {
		panic(name + ": a tool's name is a-z, 0-9 and _, and begins with a letter")
	}
	definition = Definition{Name: name, Description: description, Input: schema(reflect.TypeFor[In](), name)}
	for _, one := range behaviour {
		definition.Behaviour |= one
	}
	if out := reflect.TypeFor[Out](); out.Kind() == reflect.Struct {
		definition.Output = schema(out, name)
	}
	definition.run = func(arguments []byte) (any, error) {
		var in In
		decoder := json.NewDecoder(bytes.NewReader(arguments))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			return nil, Invalid("%s", strings.TrimPrefix(err.Error(), "json: "))
		}
		return run(in)
	}
	return definition
}

// Register is called once, from an init function, with every tool of the plugin.
func Register(all ...Definition) { tools = append(tools, all...) }

// Definitions is the catalogue.
func Definitions() []Definition {
	if len(wrong) > 0 {
		panic(strings.Join(wrong, "; "))
	}
	return tools
}

// Call calls a tool: its text, and its value where that is no text.
func Call(name string, arguments []byte) (text string, value any, err error) {
	// A panic is the tool's failure, told to the caller, and not the end of the instance.
	defer func() {
		if cause := recover(); cause != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", cause, debug.Stack())
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	for _, tool := range tools {
		if tool.Name != name {
			continue
		}
		missing, err := lacks(tool, arguments)
		if err != nil || missing != "" {
			return "", nil, Invalid("$.%s: it is missing", missing)
		}
		value, err = tool.run(arguments)
		if err != nil {
			return "", nil, err
		}
		if text, is := value.(string); is {
			return text, nil, nil
		}
		encoded, err := json.Marshal(value)
		return string(encoded), value, err
	}
	return "", nil, &Error{"unknown-tool", "there is no tool " + name}
}

func lacks(tool Definition, arguments []byte) (string, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(arguments, &given); err != nil {
		return "", err
	}
	for _, name := range tool.Input["required"].([]string) {
		if _, there := given[name]; !there {
			return name, nil
		}
	}
	return "", nil
}

// KindOf is the kind of an error: `failed`, unless it says otherwise.
func KindOf(err error) string {
	var own *Error
	if errors.As(err, &own) {
		return own.Kind
	}
	return "failed"
}

func schema(of reflect.Type, where string) map[string]any {
	switch of.Kind() {
	case reflect.Pointer:
		return schema(of.Elem(), where)
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := of.Bits() - 1
		// JSON Schema's integers have no size: the type's own is said.
		return map[string]any{"type": "integer", "minimum": -int64(1)<<(bits-1)*2, "maximum": int64(1)<<bits - 1}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0, "maximum": uint64(1)<<(of.Bits()-1)*2 - 1}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schema(of.Elem(), where)}
	case reflect.Map:
		if of.Key().Kind() == reflect.String {
			return map[string]any{"type": "object", "additionalProperties": schema(of.Elem(), where)}
		}
	case reflect.Interface:
		return map[string]any{}
	case reflect.Struct:
		return object(of, where)
	}
	panic(where + ": " + of.String() + " has no JSON schema")
}

func object(of reflect.Type, where string) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range of.NumField() {
		field := of.Field(i)
		name, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		property := schema(field.Type, where+"."+name)
		if text := field.Tag.Get("aos"); text != "" {
			property["description"] = text
		}
		properties[name] = property
		if field.Type.Kind() != reflect.Pointer && !strings.Contains(rest, "omitempty") {
			required = append(required, name)
		}
	}
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}
