package greeting

// For greets somebody.
func For(name string) string { return "hello from " + name }
