"""Between the prompt and the experiment."""
