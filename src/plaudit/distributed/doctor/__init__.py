"""Are these nodes fit for training with many ranks, and what is to be fixed?"""
