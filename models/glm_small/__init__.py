"""The embedded default model glm-small: corpus, vocabulary, training and evaluation."""
