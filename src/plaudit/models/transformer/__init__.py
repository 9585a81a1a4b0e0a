"""The LSTM: its network in torch, and the compiled kernel that predicts without torch."""
