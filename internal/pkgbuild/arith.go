package pkgbuild

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// arith evaluates an arithmetic expression in 64 bits, as bash does. Assignments inside are made.
func (e *evaluator) arith(x syntax.ArithmExpr) (int64, error) {
	if !e.spend(1) {
		return 0, e.lost
	}
	switch x := x.(type) {
	case *syntax.ParenArithm:
		return e.arith(x.X)
	case *syntax.Word:
		return e.arithWord(x)
	case *syntax.UnaryArithm:
		return e.arithUnary(x)
	case *syntax.BinaryArithm:
		return e.arithBinary(x)
	}
	return 0, e.dynamic(x, "an arithmetic expression that is not understood")
}

func (e *evaluator) arithWord(x *syntax.Word) (int64, error) {
	if p, ok := onlyParam(x); ok && p.Short && p.Index != nil { // an array element, written without $
		found, err := e.lookup(p, p.Param.Value, p.Index)
		if err != nil {
			return 0, err
		}
		return e.number(x, found.value(), 0)
	}
	s, err := e.scalar(x)
	if err != nil {
		return 0, err
	}
	return e.number(x, s, 0)
}

func onlyParam(x *syntax.Word) (*syntax.ParamExp, bool) {
	if len(x.Parts) != 1 {
		return nil, false
	}
	p, ok := x.Parts[0].(*syntax.ParamExp)
	return p, ok
}

// number reads text as bash does in an expression: a number, or the name of a variable that holds one.
func (e *evaluator) number(at syntax.Node, s string, depth int) (int64, error) {
	s = strings.Trim(s, " \t\n")
	if s == "" {
		return 0, nil
	}
	if syntax.ValidName(s) && depth < 20 {
		v, err := e.variable(at, s)
		if err != nil {
			return 0, err
		}
		value, _ := v.first()
		return e.number(at, value, depth+1)
	}
	digits := strings.TrimPrefix(s, "-")
	n, err := strconv.ParseInt(digits, 0, 64)
	if err != nil || strings.ContainsAny(digits, "_obOB+-") || len(digits) > 18 {
		return 0, e.dynamic(at, "the number "+strconv.Quote(shorten(s)))
	}
	if digits != s {
		n = -n
	}
	return n, nil
}

// arithName is the variable that an arithmetic assignment sets.
func arithName(x syntax.ArithmExpr) string {
	word, ok := x.(*syntax.Word)
	if !ok {
		return ""
	}
	if lit := word.Lit(); syntax.ValidName(lit) {
		return lit
	}
	return ""
}

func assigns(op syntax.BinAritOperator) bool {
	switch op {
	case syntax.Assgn, syntax.AddAssgn, syntax.SubAssgn, syntax.MulAssgn, syntax.QuoAssgn, syntax.RemAssgn,
		syntax.AndAssgn, syntax.OrAssgn, syntax.XorAssgn, syntax.ShlAssgn, syntax.ShrAssgn:
		return true
	}
	return false
}

func (e *evaluator) arithStore(x syntax.ArithmExpr, n int64) error {
	name := arithName(x)
	if name == "" {
		return e.dynamic(x, "an arithmetic assignment to an array element")
	}
	e.setScalar(x, name, itoa(n))
	return nil
}

func (e *evaluator) arithUnary(x *syntax.UnaryArithm) (int64, error) {
	n, err := e.arith(x.X)
	if err != nil {
		return 0, err
	}
	switch x.Op {
	case syntax.Inc, syntax.Dec:
		after := n + 1
		if x.Op == syntax.Dec {
			after = n - 1
		}
		if !x.Post {
			n = after
		}
		return n, e.arithStore(x.X, after)
	case syntax.Not:
		return truth(n == 0), nil
	case syntax.BitNegation:
		return ^n, nil
	case syntax.Plus:
		return n, nil
	case syntax.Minus:
		return -n, nil
	}
	return 0, e.dynamic(x, "an arithmetic operator that is not understood")
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (e *evaluator) arithBinary(x *syntax.BinaryArithm) (int64, error) {
	switch x.Op {
	case syntax.AndArit, syntax.OrArit:
		left, err := e.arith(x.X)
		if err != nil || (left != 0) == (x.Op == syntax.OrArit) {
			return truth(left != 0), err
		}
		right, err := e.arith(x.Y)
		return truth(right != 0), err
	case syntax.TernQuest:
		return e.ternary(x)
	case syntax.Assgn:
		n, err := e.arith(x.Y)
		if err != nil {
			return 0, err
		}
		return n, e.arithStore(x.X, n)
	}
	left, err := e.arith(x.X)
	if err != nil {
		return 0, err
	}
	right, err := e.arith(x.Y)
	if err != nil {
		return 0, err
	}
	n, ok := compute(x.Op, left, right)
	if !ok {
		return 0, e.dynamic(x, "arithmetic without a result: "+e.text.short(x))
	}
	if assigns(x.Op) {
		return n, e.arithStore(x.X, n)
	}
	return n, nil
}

func (e *evaluator) ternary(x *syntax.BinaryArithm) (int64, error) {
	branches, ok := x.Y.(*syntax.BinaryArithm)
	if !ok {
		return 0, e.dynamic(x, "an arithmetic expression that is not understood")
	}
	n, err := e.arith(x.X)
	if err != nil {
		return 0, err
	}
	if n != 0 {
		return e.arith(branches.X)
	}
	return e.arith(branches.Y)
}

// compute returns false for a division by zero, and for what C leaves undefined.
func compute(op syntax.BinAritOperator, x, y int64) (int64, bool) {
	switch op {
	case syntax.Add, syntax.AddAssgn:
		return x + y, true
	case syntax.Sub, syntax.SubAssgn:
		return x - y, true
	case syntax.Mul, syntax.MulAssgn:
		return x * y, true
	case syntax.Quo, syntax.QuoAssgn, syntax.Rem, syntax.RemAssgn:
		if y == 0 || y == -1 {
			return 0, false
		}
		if op == syntax.Quo || op == syntax.QuoAssgn {
			return x / y, true
		}
		return x % y, true
	case syntax.Pow:
		return power(x, y)
	case syntax.Shl, syntax.ShlAssgn:
		return x << uint64(y&63), y >= 0 && y < 64
	case syntax.Shr, syntax.ShrAssgn:
		return x >> uint64(y&63), y >= 0 && y < 64
	case syntax.And, syntax.AndAssgn:
		return x & y, true
	case syntax.Or, syntax.OrAssgn:
		return x | y, true
	case syntax.Xor, syntax.XorAssgn:
		return x ^ y, true
	case syntax.Comma:
		return y, true
	}
	return compare(op, x, y)
}

func compare(op syntax.BinAritOperator, x, y int64) (int64, bool) {
	switch op {
	case syntax.Eql:
		return truth(x == y), true
	case syntax.Neq:
		return truth(x != y), true
	case syntax.Lss:
		return truth(x < y), true
	case syntax.Gtr:
		return truth(x > y), true
	case syntax.Leq:
		return truth(x <= y), true
	case syntax.Geq:
		return truth(x >= y), true
	}
	return 0, false
}

func power(x, y int64) (int64, bool) {
	if y < 0 || y > 1<<16 {
		return 0, false
	}
	n := int64(1)
	for ; y > 0; y-- {
		n *= x
	}
	return n, true
}
