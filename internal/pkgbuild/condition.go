package pkgbuild

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// test evaluates what is inside [[ ]].
func (e *evaluator) test(x syntax.TestExpr) (bool, error) {
	switch x := x.(type) {
	case *syntax.ParenTest:
		return e.test(x.X)
	case *syntax.Word:
		s, err := e.scalar(x)
		return s != "", err
	case *syntax.UnaryTest:
		return e.testUnary(x)
	case *syntax.BinaryTest:
		return e.testBinary(x)
	}
	return false, e.dynamic(x, "a condition that is not understood")
}

func (e *evaluator) testUnary(x *syntax.UnaryTest) (bool, error) {
	if x.Op == syntax.TsNot {
		ok, err := e.test(x.X)
		return !ok, err
	}
	word, isWord := x.X.(*syntax.Word)
	if !isWord {
		return false, e.dynamic(x, "the condition "+e.text.short(x))
	}
	switch x.Op {
	case syntax.TsEmpStr, syntax.TsNempStr:
		s, err := e.scalar(word)
		return (s == "") == (x.Op == syntax.TsEmpStr), err
	case syntax.TsVarSet:
		name, err := e.scalar(word)
		if err != nil {
			return false, err
		}
		return e.isSet(word, name)
	}
	return false, e.dynamic(x, "the condition "+e.text.short(x))
}

func (e *evaluator) isSet(at syntax.Node, name string) (bool, error) {
	if !syntax.ValidName(name) {
		return false, e.dynamic(at, "whether "+shorten(name)+" is set")
	}
	v, err := e.variable(at, name)
	if err != nil {
		return false, err
	}
	_, ok := v.first()
	return ok, nil
}

func (e *evaluator) testBinary(x *syntax.BinaryTest) (bool, error) {
	if x.Op == syntax.AndTest || x.Op == syntax.OrTest {
		left, err := e.test(x.X)
		if err != nil || left == (x.Op == syntax.OrTest) {
			return left, err
		}
		return e.test(x.Y)
	}
	left, ok1 := x.X.(*syntax.Word)
	right, ok2 := x.Y.(*syntax.Word)
	if !ok1 || !ok2 {
		return false, e.dynamic(x, "the condition "+e.text.short(x))
	}
	s, err := e.scalar(left)
	if err != nil {
		return false, err
	}
	switch x.Op {
	case syntax.TsMatch, syntax.TsMatchShort, syntax.TsNoMatch:
		matched, err := e.matches(s, right)
		return matched == (x.Op != syntax.TsNoMatch), err
	}
	t, err := e.scalar(right)
	if err != nil {
		return false, err
	}
	if ok, known, err := e.numeric(x, x.Op.String(), s, t); known || err != nil {
		return ok, err
	}
	return false, e.dynamic(x, "the condition "+e.text.short(x))
}

// numeric compares numbers; known is false when the operator is another one.
func (e *evaluator) numeric(at syntax.Node, op, s, t string) (result, known bool, err error) {
	index := strings.Index("-eq -ne -lt -le -gt -ge ", op+" ")
	if index < 0 {
		return false, false, nil
	}
	x, err := e.number(at, s, 0)
	if err != nil {
		return false, true, err
	}
	y, err := e.number(at, t, 0)
	if err != nil {
		return false, true, err
	}
	return [...]bool{x == y, x != y, x < y, x <= y, x > y, x >= y}[index/4], true, nil
}

// testCommand evaluates test and [ with up to four arguments; -a, -o and files are dynamic.
func (e *evaluator) testCommand(cmd *syntax.CallExpr, name string, args []*syntax.Word) (bool, error) {
	var words []string
	for _, arg := range args {
		fields, err := e.fields(arg)
		if err != nil {
			return false, err
		}
		words = append(words, fields...)
	}
	if name == "[" {
		if len(words) == 0 || words[len(words)-1] != "]" {
			return false, e.dynamic(cmd, "a condition that is not closed")
		}
		words = words[:len(words)-1]
	}
	return e.testWords(cmd, words)
}

func (e *evaluator) testWords(at syntax.Node, words []string) (bool, error) {
	unknown := e.dynamic(at, "the condition "+e.text.short(at))
	switch len(words) {
	case 0:
		return false, nil
	case 1:
		return words[0] != "", nil
	case 3:
		switch op := words[1]; op {
		case "=", "==":
			return words[0] == words[2], nil
		case "!=":
			return words[0] != words[2], nil
		default:
			ok, known, err := e.numeric(at, op, words[0], words[2])
			if known {
				return ok, err
			}
		}
	}
	if len(words) > 4 {
		return e.testChain(at, words)
	}
	if words[0] == "!" {
		ok, err := e.testWords(at, words[1:])
		return !ok, err
	}
	if len(words) == 2 {
		switch words[0] {
		case "-z":
			return words[1] == "", nil
		case "-n":
			return words[1] != "", nil
		case "-v":
			return e.isSet(at, words[1])
		}
	}
	return false, unknown
}

// testChain evaluates conditions joined by -o and -a, of which -a binds stronger.
func (e *evaluator) testChain(at syntax.Node, words []string) (bool, error) {
	for _, op := range []string{"-o", "-a"} {
		i := slices.Index(words, op)
		if i < 0 {
			continue
		}
		left, err := e.testWords(at, words[:i])
		if err != nil {
			return false, err
		}
		right, err := e.testWords(at, words[i+1:])
		if op == "-o" {
			return left || right, err
		}
		return left && right, err
	}
	return false, e.dynamic(at, "the condition "+e.text.short(at))
}
