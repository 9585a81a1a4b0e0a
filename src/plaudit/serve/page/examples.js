// Example reviews: plain ones, and some that are difficult for a model.

export const EXAMPLES = [
  ["Praise", "I went in for the cast and stayed for everything else. It is a small, warm film, beautifully shot, and the last twenty minutes are superb. I cried, I laughed, I called my sister. 💛"],
  ["A pan", "What a waste of a good idea. The plot makes no sense, the acting is wooden, and the jokes were old when my father told them. I looked at my watch four times. Avoid."],
  ["Torn", "The first hour is dull and much too long, and I nearly left. I am glad I did not: the ending is wonderful, and the score is the best I have heard this year. Not a great film, but one I will not forget."],
  ["Irony", "Oh, brilliant. Another sequel nobody asked for, and only three hours of it. If you love watching paint dry, this is the masterpiece you have been waiting for."],
  ["Faint praise", "It is not bad, I suppose. My kids were quiet for ninety minutes, which is more than I can say for most films. Would I watch it again? No. Would I complain? Also no."],
];
