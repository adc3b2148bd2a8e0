"""What a night learns from outcomes: heads beside the ranker that it trained or kept."""
