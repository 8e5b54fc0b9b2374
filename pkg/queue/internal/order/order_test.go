package order

import "testing"

func TestScoresTradeWaitingForPathAndPriority(t *testing.T) {
	const now = 1_700_000_000_000
	for name, c := range map[string]struct{ first, second int64 }{
		"older":                           {Score(now, 1, 0), Score(now+1, 1, 0)},
		"longer path":                     {Score(now, 2, 0), Score(now, 1, 0)},
		"an hour of waiting, 3000 s":      {Score(now-3_600_000, 1, 0), Score(now, 3000, 0)},
		"4000 s, an hour of waiting":      {Score(now, 4000, 0), Score(now-3_600_000, 1, 0)},
		"a priority, a day of path":       {Score(now, 1, 1), Score(now, 86_400, 0)},
		"eight days of waiting, one step": {Score(now-8*86_400_000, 1, 0), Score(now, 1, 1)},
	} {
		if c.first >= c.second {
			t.Errorf("%s: %d is not before %d", name, c.first, c.second)
		}
	}
}

func TestReposShareByWeightAndNoneSavesUp(t *testing.T) {
	f := &Fair{Weights: map[string]int{"big": 3}}
	heads := []Head{{Repo: "big", Seconds: 60}, {Repo: "small", Seconds: 60}}
	count := map[string]int{}
	for range 400 {
		count[f.Next(heads).Repo]++
	}
	if count["big"] != 300 {
		t.Errorf("shares %v", count)
	}
	late := append(heads, Head{Repo: "late", Seconds: 60})
	count = map[string]int{}
	for range 50 {
		count[f.Next(late).Repo]++
	}
	if count["late"] < 9 || count["late"] > 11 {
		t.Errorf("with one that came late: %v", count)
	}
}

func TestAPriorityGoesBeforeOtherReposUntilItsCreditIsUsedUp(t *testing.T) {
	f := &Fair{}
	heads := []Head{{Repo: "asks", Priority: 1, Seconds: 3600}, {Repo: "other", Seconds: 3600}}
	n := 0
	for f.Next(heads).Repo == "asks" {
		if n++; n > 100 {
			t.Fatal("the other repo starves")
		}
	}
	if n != 24 && n != 25 {
		t.Errorf("%d hours of builds went before the others, want a day", n)
	}
}
