package container

func newDocker(c Config) (Engine, error) { return nil, nil }
