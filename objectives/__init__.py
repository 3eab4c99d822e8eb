"""What one trial does: fine-tune a pretrained model under given settings; usable without hpo."""
