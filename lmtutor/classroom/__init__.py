"""What a cell calls: set-up, figures, bets, exercises."""
