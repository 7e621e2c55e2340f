"""How a model is executed: compiled, packed or quantised; eager is the model itself."""
