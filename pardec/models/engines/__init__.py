"""How a model is executed: compiled or quantised; eager is the model itself."""
