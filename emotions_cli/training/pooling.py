"""A classifier on the mean of all tokens, where ``transformers`` has only ones on the first.

Sentence encoders such as all-MiniLM-L6-v2 were trained so that the mean of their tokens says what a text means; their first
token says nothing in particular before fine-tuning (Reimers and Gurevych, "Sentence-BERT", EMNLP 2019). The encoder's parameters
have the names that its family gives them, so that ``AutoModel`` of ``transformers`` opens it; the head is this tool's own.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

# the key in config.json, and its value
POOLING = "emotions_pooling"
MEAN = "mean"


@cache
def mean_pooled_class(family: type) -> Any:
    """Return the class for a family of encoders; it can't stand at the top of a module, since it needs PyTorch.

    Args:
        family: Configuration class of the family, such as ``BertConfig``.
    """
    import torch
    from transformers import AutoModel, PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    encoder_class = MODEL_MAPPING[family]
    options = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(encoder_class.__init__).parameters else {}
    takes_types = "token_type_ids" in inspect.signature(encoder_class.forward).parameters

    class MeanPoolingForSequenceClassification(PreTrainedModel):  # type: ignore[misc]
        """An encoder, dropout, and a linear layer on the mean of the last layer's tokens, padding left out."""

        config_class = family
        base_model_prefix = encoder_class.base_model_prefix

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            setattr(self, self.base_model_prefix, AutoModel.from_config(config, **options))
            self.dropout = torch.nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
            self.mean_classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        def _init_weights(self, module: Any) -> None:
            if module is self.mean_classifier:
                torch.nn.init.normal_(module.weight, std=getattr(self.config, "initializer_range", 0.02))
                torch.nn.init.zeros_(module.bias)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            """Return logits (texts, labels)."""
            types = {"token_type_ids": token_type_ids} if takes_types else {}
            tokens = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
            mean = (tokens * weights).sum(dim=1) / weights.sum(dim=1)
            return SequenceClassifierOutput(logits=self.mean_classifier(self.dropout(mean)))

    return MeanPoolingForSequenceClassification
