package pkgbuild

import (
	"maps"
	"slices"
)

// variable is one shell variable. It is never changed once it is in a table, only replaced.
type variable struct {
	kind     Kind
	str      string
	list     []item // ascending idx; gaps are possible
	dict     map[string]string
	line     int
	dyn      *Dynamic // the value is unknown
	special  string   // an attribute that changes what an assignment does ("integer", "reference"…)
	readonly bool
	guarded  bool // assigned where it is not sure to be reached; Edit must not touch it
}

type item struct {
	idx int
	val string
}

func (v *variable) isSet() bool {
	return v != nil && (v.dyn != nil || v.kind != Unset)
}

// size is the work of looking at all of the variable.
func (v *variable) size() int {
	if v == nil {
		return 0
	}
	return len(v.str)/16 + len(v.list) + len(v.dict)
}

// first is what `$name` gives; ok is false when that element is unset.
func (v *variable) first() (value string, ok bool) {
	switch {
	case v == nil:
		return "", false
	case v.kind == Scalar:
		return v.str, true
	case v.kind == Array && len(v.list) > 0 && v.list[0].idx == 0:
		return v.list[0].val, true
	case v.kind == Map:
		value, ok = v.dict["0"]
		return value, ok
	}
	return "", false
}

// items is what "${name[@]}" gives. Bash gives a map's items in the order of its hash table; callers that depend on the order must check the kind.
func (v *variable) items() []string {
	switch {
	case v == nil:
		return nil
	case v.kind == Scalar:
		return []string{v.str}
	case v.kind == Array:
		out := make([]string, len(v.list))
		for i, it := range v.list {
			out[i] = it.val
		}
		return out
	case v.kind == Map:
		out := make([]string, 0, len(v.dict))
		for _, key := range slices.Sorted(maps.Keys(v.dict)) {
			out = append(out, v.dict[key])
		}
		return out
	}
	return nil
}

func (v *variable) dense() bool {
	return v.kind != Array || len(v.list) == 0 || v.list[len(v.list)-1].idx == len(v.list)-1
}

// next is the index that `name+=(x)` assigns.
func (v *variable) next() int {
	switch {
	case v == nil || v.kind == Unset:
		return 0
	case v.kind == Array && len(v.list) == 0:
		return 0
	case v.kind == Array:
		return v.list[len(v.list)-1].idx + 1
	}
	return 1 // a scalar becomes element 0
}

// asList returns the elements as an array would hold them.
func (v *variable) asList() []item {
	switch {
	case v == nil || v.kind == Unset:
		return nil
	case v.kind == Scalar:
		return []item{{0, v.str}}
	}
	return v.list
}

// withIndex returns a copy of list in which idx has the value.
func withIndex(list []item, idx int, value string) []item {
	at, found := slices.BinarySearchFunc(list, idx, func(it item, idx int) int { return it.idx - idx })
	out := slices.Clone(list)
	if found {
		out[at].val = value
		return out
	}
	return slices.Insert(out, at, item{idx, value})
}

func (v *variable) value(name string) Value {
	switch {
	case v == nil:
		return Value{}
	case v.dyn != nil:
		dyn := *v.dyn
		dyn.Name = name
		return Value{Kind: v.kind, Line: v.line, Dynamic: &dyn}
	case v.kind == Unset:
		return Value{}
	}
	return Value{Kind: v.kind, Items: v.items(), Line: v.line}
}
