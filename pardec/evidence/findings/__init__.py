"""What the answer text needs: numbers and words picked out of tables, each with the rows it rests on."""
